"""The worker: a process that answers requests of a graphical program, so that torch never runs in that program itself.

    python -m lckd.worker [--parent PID]

Requests come on stdin, events go to stdout, one JSON object a line; whatever else is printed goes to stderr. Every
request has an ``id`` of the asker's choice and says in ``do`` what is wanted:

=========== ================================================ ========================================================
``do``      more                                             facts of the ``result`` event
=========== ================================================ ========================================================
segment     job                                              subset, files, report, encoded, kept_mb
decode      job, subset (``flair+t1c``)                      the same
compare     job, subsets (list; null: all), reference        subsets (rows), basis, importance, files, report, encoded,
                                                             kept_mb
doctor                                                       usable, problem, torch, devices, checks
models                                                       default, models
forget                                                       forgotten, rss_mb
cancel      target (id)                                      found
ping                                                         busy (id of the request under way)
quit                                                         nothing; the worker ends
=========== ================================================ ========================================================

``job`` is a job folder (`lckd.worker.job`). ``files`` maps what a file is to its path. ``encoded`` says whether the
sequences had to be encoded, or were still at hand; ``kept_mb`` how much memory is taken to keep them at hand, 0 where
they are too large. ``reference`` is a file in the job folder; null: the one that the job names, if any.

Events: ``hello`` (version, protocol, pid, python) once at the start; ``heartbeat`` (rss_mb; ``id`` of the request under
way) every second; and for a request, with its ``id``: ``stage`` (stage), ``progress`` (fraction 0–1), ``warning``
(message), ``subset`` (subset, volumes_ml, dice, hd95_mm, by region; files, report) for each subset of a comparison as
soon as it is there, and at the end one of ``result``, ``error`` (code, message, action, exit_status) and ``cancelled``.

Requests are done one after the other; cancel, ping and quit are answered at once. A bad request is answered by an
``error``, and the worker lives on. It ends at once, with its children, when stdin is closed or its parent dies.
"""

PROTOCOL = 1
