"""The HTML report: sections as plain data, a page of static markup, and scripts that draw the one into the other."""
