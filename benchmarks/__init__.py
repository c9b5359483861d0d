"""What `scripts/bench` measures, and against which goals.

Lowest last::

    __main__     the command line
    lines        the table of lines: ID, what, unit, goal, and the module that measures it
    alone        runs one module in an interpreter of its own
    report       lines and their values for people and as JSON
    beat deadline restart crowd idle freezes guard_cost backlog rates latency hosting drift
                 one module for each line or family of lines, with a function `measure`
    place stack the_plan
                 what they measure: `run` as processes, a local stack, the plan's requests
    client_process hosted_telethon updated_telethon bare_telethon telethon_jobs
                 Telethon in processes of its own, hosted and bare
    child        how they run a piece of code inside a supervised child
    pairs        two sides, interleaved
    line         Line, Goal, Effort, Measured

A new line is a row in `lines.LINES` and a module with a function ``measure(effort: Effort)`` that returns a
`Measured` for each of its lines.
"""
