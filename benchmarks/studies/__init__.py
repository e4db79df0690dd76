"""What is not a race: costs apart from speed, memory, how time grows, and the machine's limits.

Each study has `measure()`, which prints as it goes and returns what goes into the JSON.
"""
