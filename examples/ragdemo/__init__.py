"""The parts of the question-answering demo: corpus, index, judgments, report."""
