"""Where in a TOML text each key stands: `tomllib` gives the values, this the lines."""

from collections.abc import Iterator

KeyPath = tuple[str | int, ...]

_CLOSING = {"[": "]", "{": "}"}
_BLANK = " \t"


def lines(text: str) -> dict[KeyPath, int]:
    """The line of every table, key and array element, by its path; `text` must be valid TOML."""
    return _Scanner(text).scan()


class _Scanner:
    """Walks over a valid text and notes where paths begin; values are passed over."""

    def __init__(self, text: str) -> None:
        self.text = text + "\n"
        self.at = 0
        self.found: dict[KeyPath, int] = {(): 1}
        self.tables: dict[KeyPath, int] = {}

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._skip(_BLANK + "\r\n"):
            if self.text[self.at] == "#":
                self._to_line_end()
            elif self.text[self.at] == "[":
                table = self._header()
            else:
                self._entry(table)
        return self.found

    def _header(self) -> KeyPath:
        array = self.text.startswith("[[", self.at)
        line = self._line()
        self.at += 2 if array else 1
        path = self._resolved(tuple(self._keys("]")))
        if array:
            count = self.tables[path] = self.tables.get(path, -1) + 1
            self.found.setdefault(path, line)
            path = (*path, count)
        self._note(path, line)
        self._to_line_end()
        return path

    def _resolved(self, path: KeyPath) -> KeyPath:
        """The path with the position of the last element behind each array of tables."""
        whole: KeyPath = ()
        for position, part in enumerate(path):
            whole = (*whole, part)
            if whole in self.tables and position < len(path) - 1:
                whole = (*whole, self.tables[whole])
        return whole

    def _entry(self, table: KeyPath) -> None:
        line = self._line()
        path = (*table, *self._keys("="))
        self.at += 1
        self._note(path, line)
        self._value(path)

    def _note(self, path: KeyPath, line: int) -> None:
        for length in range(1, len(path) + 1):
            self.found.setdefault(path[:length], line)

    def _keys(self, end: str) -> Iterator[str]:
        """The parts of a dotted key; stops at `end`."""
        while True:
            self._skip(_BLANK)
            mark = self.text[self.at]
            if mark == end:
                return
            if mark == ".":
                self.at += 1
            elif mark in "\"'":
                start = self.at
                self._string()
                yield _unquoted(self.text[start : self.at])
            else:
                start = self.at
                while self.text[self.at] not in _BLANK + "." + end:
                    self.at += 1
                yield self.text[start : self.at]

    def _value(self, path: KeyPath) -> None:
        self._skip(_BLANK)
        mark = self.text[self.at]
        if mark in _CLOSING:
            self._collection(path, mark)
        elif mark in "\"'":
            self._string()
        else:
            while self.text[self.at] not in ",]}#\r\n":
                self.at += 1

    def _collection(self, path: KeyPath, mark: str) -> None:
        """An array or an inline table, with every element or key noted."""
        self.at += 1
        position = 0
        while True:
            self._skip(_BLANK + "\r\n,")
            if self.text[self.at] == "#":
                self._to_line_end()
            elif self.text[self.at] == _CLOSING[mark]:
                self.at += 1
                return
            elif mark == "{":
                self._entry(path)
            else:
                self._note((*path, position), self._line())
                self._value((*path, position))
                position += 1

    def _string(self) -> None:
        mark = self.text[self.at]
        quote = mark * 3 if self.text.startswith(mark * 3, self.at) else mark
        self.at += len(quote)
        while not self.text.startswith(quote, self.at):
            self.at += 2 if mark == '"' and self.text[self.at] == "\\" else 1
        self.at += len(quote)
        while len(quote) == 3 and self.text[self.at] == mark:  # up to two quotes before the end
            self.at += 1

    def _skip(self, marks: str) -> bool:
        """Pass over these characters; whether anything is left."""
        while self.at < len(self.text) and self.text[self.at] in marks:
            self.at += 1
        return self.at < len(self.text)

    def _to_line_end(self) -> None:
        self.at = self.text.index("\n", self.at)

    def _line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1


def _unquoted(key: str) -> str:
    """A quoted key without its quotes; escapes other than of a quote are left as they are."""
    return key[1:-1].replace('\\"', '"').replace("\\\\", "\\") if key[0] == '"' else key[1:-1]
