"""What an answer to a text is: single-label or multi-label.

A `Task` is a frozen value that decides everything that depends on the kind of answer. It is made from data
(`kind_of_data`), from the configuration of a model (`task_of_config`) or from a report (`task_of_report`). Whatever
takes a task works for every kind: a new one is a subclass of `Task` that is registered in `TASKS`.
"""
