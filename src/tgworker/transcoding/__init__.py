"""Adapter: looks into media files and makes voice notes, by PyAV (FFmpeg) in processes of their own.

Lowest last::

    transcoder                 what the worker asks: one process for each file, few at a time
    process                    a child process under a deadline, killed and reaped
    __main__                   what runs in the child: limits, then one job, then one line of JSON
    converting inspecting      the jobs; they alone import PyAV
    opening                    a stranger's file opened, without the formats that lead to other files
    confinement                limits that the child sets for itself
    answers waveform           values on their way between the two: pure

FFmpeg reads what strangers made. Whatever that does, it does to a process that has no secrets and that nobody
misses.
"""
