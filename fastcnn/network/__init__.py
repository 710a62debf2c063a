"""A network: layers run as one (`network`), its parameters in one array (`parameters`), its files
(`checkpoint`), and beginning with what another one has learned (`transfer`).
"""
