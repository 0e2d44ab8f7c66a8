"""The rows of the table in docs/performance.md, one module each; `TABLE` in `benchmarks.table` lists them."""
