"""The storage floor: one SQLite file in WAL mode, through apsw.

`database` opens it and brings its schema up to date, `journal` is the one writer, `checkpoint` moves what it
wrote out of the WAL, `store` reads, `codec` knows the stored forms.
"""
