"""Problems of a data set, and likely label errors."""
