"""The explorer page: the protocol to click through, in one file. The states and the steps come from the model, the page has no
rule of the protocol in it (``page.js`` looks things up). ``menu.py`` says what can be chosen, ``graph.py`` visits the states,
``words.py`` and ``waits.py`` describe them, ``paths.py`` finds the counterexamples in them, ``pack.py`` makes them small."""
