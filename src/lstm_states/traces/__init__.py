"""Recording: every state and gate of the recurrent layers of a Keras model, exactly.

How ``record_traces(model, x)`` goes, from the call to the tree:

1. ``request`` checks the arguments. ``traced_layers`` finds the recurrent layers and refuses those
   that can't be followed exactly; ``select`` reads ``isel``, ``initial_states`` the states to start
   from, and ``batches`` cuts ``x``.
2. ``record`` takes batch by batch to a ``recorder``. That compiles one function of the model, once
   (``compiled``), and runs it, so that everything the model moves by being called is put back
   (``moving``).
3. While the function is traced, ``intercept`` stands in for the ``inner_loop`` of each layer. That
   is where Keras hands over the input, the start and the mask that the layer really gets, whatever
   wraps it. ``watch`` notices what runs besides.
4. There the kernels (:mod:`lstm_states.kernels`) take the steps and keep every quantity; the layer
   shows their outputs to the layers above.
5. ``probe`` has the layer itself take some of the steps again, each from the recorded state before
   it, in the same graph. So Keras's own code judges every batch.
6. ``gradients`` goes the same way twice: a first run for the outputs, a second one in which
   ``derivative`` puts derivatives in the place of the quantities.
7. What each cell did comes back as a ``cell_trace``. ``proof`` refuses a batch whose probe differs
   by more than rounding, whose mask got lost, or whose first and last sample break the equations
   of the cell's kind. ``rows`` finds out whether a layer's rows are the model's samples at all.
8. ``gather`` puts each state and gate in its place in time, in arrays that grow by a batch.
   ``tree`` labels them as the tree that users get; with ``store=`` each batch is written at once.
   ``notes`` say what was left out, and where the first NaN is.

``join`` puts trees of one piece after the other together.
"""
