"""From the folders of a sweep's runs to a table, curves and pictures on one page."""
