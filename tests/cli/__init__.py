"""The commands as people run them: in processes of their own, judged by what they print, serve and exit with."""
