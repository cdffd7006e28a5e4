"""Rules: functions of one bar that users write, compiled and scored for many configs at once."""
