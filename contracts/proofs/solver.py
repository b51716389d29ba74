#!/usr/bin/env python3
"""cvc5 as halmos calls a solver: the path of an SMT-LIB file comes last. Bit-vectors are solved as
integers, without which no product or quotient of two unknowns is decided."""

import sys

import cvc5

path = [word for word in sys.argv[1:] if not word.startswith("-")][-1]
solver = cvc5.Solver()
solver.setOption("solve-bv-as-int", "iand")
solver.setOption("produce-models", "true")
symbols = cvc5.SymbolManager(solver)
parser = cvc5.InputParser(solver, symbols)
parser.setFileInput(cvc5.InputLanguage.SMT_LIB_2_6, path)
while not (command := parser.nextCommand()).isNull():
    if answer := command.invoke(solver, symbols):
        sys.stdout.write(answer)
