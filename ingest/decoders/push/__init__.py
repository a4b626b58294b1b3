"""What operator platforms push: China Telecom CTWing, Huawei OceanConnect and IoTDA (PROTOCOLS C)."""
