"""props.py - small stand-ins that some exercises hand to a student's function (no part of the paper).

They are not in the questions, since the process of the student's function must have them, too.

In:  nothing. Out: classes. Read next: questions/field.py, questions/inputs.py.
"""
