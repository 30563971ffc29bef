"""Corruption: databases of real runs, of which bytes, sectors, pages or rows are changed; and what may follow.

`originals` makes the databases, `page_damage` and `row_damage` change them, `judgement` says what is wrong. `crowds`
has databases of many runs, of which a page is struck.
"""
