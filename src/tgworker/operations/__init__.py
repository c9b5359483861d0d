"""What an operator sees: logs, probes, the status socket.

Lowest last::

    event_log        events of supervision and messaging as log lines
    child_names      children whose log lines say whose they are
    messaging_metrics  what the loops of messaging do, in numbers
    metrics          what a supervised tree does, in numbers: for any program
    metrics_text     numbers in Prometheus' text format
    tallies          counters, gauges, histograms
    status_server    HTTP: hypercorn on trio, with bounds
    status_app       its answers
    probes           alive, useful, started
    status_socket    a running worker's answers over a Unix socket, and who asks
    stack_files      stack dumps in files, and which is the newest
    task_stacks      what every task is doing right now
    identity         whether the data folder is still the one that was found
    memory           the soft memory limit
    stopping         ending in order: by signal or from within, within a budget
    signals          ending a command in order
    logs             the logger
    redaction        the second line of defence against secrets in logs
"""
