"""Print how many wrong answers each exercise recognises."""

import os

from exercises.wrong_answers import table

if __name__ == "__main__":
    os.environ["DPO_TEACH_PROGRESS"] = "off"
    print(table())
