def write_report(run, trained):
    pass
