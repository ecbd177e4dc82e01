"""The main module of processes that an aliased program spawns; see ``licet.compat.script``."""

if __name__ == "__mp_main__":
    import os

    from licet.compat.script import enter_worker

    enter_worker(globals(), os.environ)
