"""Recording: every state and gate of the recurrent layers of a Keras model, exactly.

``record_traces(model, x)`` works as follows, from the call to the tree:

1. ``request`` checks the arguments. ``traced_layers`` finds the recurrent layers and refuses those
   that cannot be traced exactly. ``select`` reads ``isel``, ``initial_states`` reads the initial
   states, and ``batches`` splits ``x``.
2. ``recording`` passes batch by batch to a ``recorder``. It compiles one function of the model,
   once (``compiled``), and runs it so that every variable that a call changes is restored
   (``moving``).
3. While the function is traced, ``intercept`` replaces the ``inner_loop`` of each layer. There,
   Keras passes the input, the initial states and the mask that the layer really receives, whatever
   wraps it. ``watch`` finds other recurrent code that runs.
4. The kernels (:mod:`lstm_states.kernels`) run the steps and keep every quantity. The layer returns
   their outputs to the layers above.
5. ``probe`` makes the layer itself run some of the steps again, each from the recorded state before
   it, in the same graph. In this way, Keras's own code checks every batch.
6. ``gradients`` works in the same way, but runs twice: first for the outputs, then with
   ``derivative``, which replaces the quantities by derivatives.
7. The run of each cell returns as a ``cell_trace``. ``proof`` refuses a batch whose probe differs
   by more than rounding, whose mask did not arrive, or whose first and last sample break the
   equations of the cell's kind. ``rows`` finds out whether a layer's rows are the model's samples.
8. ``gather`` puts each state and gate in its place in time, in arrays that grow by a batch.
   ``tree`` turns them into the labelled tree for users. With ``store=``, ``stored`` writes each
   batch at once. ``notes`` says what was left out, and where the first NaN is.

Edits go beside that: ``edit`` is what the user asks for, ``edit_plans`` brings it to cells and
batches with numbers laid out by ``operands``, and ``edit_graph`` hands it to the kernels.
``join`` joins the trees of consecutive pieces.
"""
