"""Recorded bags, and what models answer to them, as recordings for the Rerun viewer.

`bags` reads and hands each message to what knows its type (`pictures`, `motion`, `ranges`,
`signals`); these say what is to be seen to a `rerun_recording`. Rerun itself is imported by the
files whose names begin with ``rerun_``, and by nothing else of the package.
"""
