"""Dinomaly (Guo et al., CVPR 2025) whole, for where teacher and student are wanted in one module."""

from __future__ import annotations

from torch import Tensor, nn

from model.config import ModelConfig
from model.student import Maps, Student
from model.teacher import Teacher, build_teacher


class Dinomaly(nn.Module):
    """A teacher and its student: images in, maps out."""

    def __init__(self, teacher: Teacher, student: Student) -> None:
        super().__init__()
        self.teacher = teacher
        self.student = student

    def forward(self, images: Tensor) -> tuple[Maps, Maps]:
        """Images [B, 3, S, S] -> ``(en, de)``, G maps [B, C, H, W] each."""
        return self.student(self.teacher(images))


def build_model(config: ModelConfig) -> Dinomaly:
    """Teacher and student for a configuration; the student is not initialised yet."""
    teacher = build_teacher(config)
    return Dinomaly(teacher, Student(teacher.shape, config))
