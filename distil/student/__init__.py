"""The student model, its initialisation from the teacher, distillation, and the control without a teacher."""
