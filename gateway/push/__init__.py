"""The HTTPS door for pushes of operator platforms: CTWing AEP, Huawei OceanConnect, Huawei IoTDA (PROTOCOLS C)."""
