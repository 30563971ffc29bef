"""Fuzzing: whatever bytes reach a decoder, it gives a value or an error of its own, soon, and within its limits.

A *target* is one decoder with a corpus, made by the encoder that writes what it reads. `trial` changes entries of the
corpus by chance (`mutation`) and demands the laws: no other exception than the named ones, no more processor time and
memory than is bearable, and where a value was read, that writing it and reading it again gives it again. `guided` lets
libFuzzer choose the changes by the branches that they reach, where atheris is installed.

`stored`: what lies in the database. `encoded`: what codecs have written. `valued`: values of users. `spoken`: what
processes and clients say. `written`: what people write, on command lines and in files. `shown`:
what people see of them.
"""
