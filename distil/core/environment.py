"""Environment variables through which the processes of one stage find each other."""

MESSAGE_FILE = "DISTIL_MESSAGE_FILE"  # where one of several processes leaves its error; see runtime/launch.py
MEETING_FILE = "DISTIL_MEETING_FILE"  # where several processes of one machine meet; see compute/distributed.py
