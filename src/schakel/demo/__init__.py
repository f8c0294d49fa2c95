"""The demo region: its cast, its patients, its processes, and a check that it does what it promises.

cast, people, patients   who lives and works there, and what is written about them
folder                   the data folder: whose it is, what it holds, what is left at the end
configuration            the settings of the two nodes
stand_ins                what the stand-ins of the national facilities are told
processes                the processes of nodes and stand-ins, which never outlive this program
region                   entry point: `running(wanted, screen)` brings all of it up and takes it down
loading                  patients and grounds, through the internal doors
check                    the main job once, proved by reading back
"""
