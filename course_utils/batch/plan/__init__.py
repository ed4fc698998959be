"""What is to be run: plan files and students' notebooks, checked whole before any kernel starts."""

from course_utils.batch.plan.estimate import Estimate, estimate
from course_utils.batch.plan.plan_file import Plan, read_plan
from course_utils.batch.plan.students import STUDENT_LIMITS, read_students

__all__ = ["STUDENT_LIMITS", "Estimate", "Plan", "estimate", "read_plan", "read_students"]
