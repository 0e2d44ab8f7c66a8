"""Which of several copies of a database serves: a lease in a place that all of their machines can reach."""
