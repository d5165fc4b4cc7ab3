"""Steps that cut passages out of documents: lines and runs seen in many, items of benchmarks."""
