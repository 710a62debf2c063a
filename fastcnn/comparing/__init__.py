"""Which of two settings is better: runs by turns, until their differences decide.

evidence.py   from differences to a decision that looking after every seed does not spoil
children.py   training runs in processes of their own, kept in folders, continued where they stopped
contest.py    two settings, a seed after the other
"""
