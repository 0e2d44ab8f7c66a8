"""The storage floor: one SQLite file in WAL mode, through apsw.

`database` opens it and brings its schema up to date, `journal` is the one writer, `store` reads,
`codec` knows the stored forms.
"""
