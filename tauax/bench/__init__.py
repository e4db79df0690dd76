"""How fast tauax is, beside what else its users could run: `tauax bench`.

`problem` says what is computed, `rivals` holds the programs that compute it, `workloads` the table,
`timing` the clock, `suite` puts them together, and `comparison` reads the results.
"""
