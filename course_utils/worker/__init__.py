"""The child process that executes one notebook: `python -P -m course_utils.worker`.

It imports nothing else of the course, so that it starts fast.
"""
