"""Graders of one's own task: what makes an answer right, chosen by name in the task's file.

exact      the same text, up to case, white space and final punctuation
choice     the letter of an option
numeric    the same number, within a relative tolerance
code       the row's tests pass
function   `module:function` says so; it takes the item and the answer and gives True, False or 0 to 1
judge      a model of the pool says so, asked with a prompt file that shows question, gold and answer
"""
