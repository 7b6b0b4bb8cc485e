"""How far apart two true poses may be for a truth between them. Imports nothing: a default."""

IMU_S = 0.03
UWB_S = 0.2
