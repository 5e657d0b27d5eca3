"""The learnt gate: a small network that tells an upright frontal chest radiograph from everything else.

pictures     what it learns from: collected pictures, phantoms, drawings
drawings     pictures of other things, drawn
spoiling     ways to spoil a film
copies       what each picture becomes, and the class of each copy
training     copies into weights
spoilt_kinds the kinds of spoilt film that it is measured on
evaluation   what it does with sources that training did not see
weights      the files that are shipped
making       all of it in order
"""
