"""Networks made of blocks: residual ones, densely connected ones, and depthwise ones."""

from dataclasses import dataclass

from ..checks import whole
from ..layers import AveragePool2D, Concatenate, GlobalAveragePool2D, Layer, Residual
from .parts import Plan, Shape


@dataclass(frozen=True, kw_only=True)
class ResidualNetwork(Plan):
    """He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition" (2015), section 4.2.

    Three stages of three residual blocks. Where the shape changes, the shortcut is a 1 x 1
    convolution (option B of the paper, whose own CIFAR-10 networks pad with zeros, option A).
    """

    norm: str = "batch"
    filters: tuple[int, ...] = (16, 32, 64)
    kernel_size: int = 3

    def layers(self, input_shape: Shape, classes: int) -> list[Layer]:
        channels = self.filters[0]
        layers: list[Layer] = [*self._conv(input_shape[0], channels), self.activate()]
        for stage, filters in enumerate(self.filters):
            for block in range(3):
                stride = 2 if block == 0 and stage else 1
                main = [
                    *self._conv(channels, filters, stride), self.activate(),
                    *self._conv(filters, filters),
                ]  # fmt: skip
                shortcut = self._conv(channels, filters, stride, 1) if stride > 1 else None
                layers.append(Residual(main, shortcut, activation=self.activate()))
                channels = filters
        return [*layers, GlobalAveragePool2D(), self.dense(channels, classes)]

    def _conv(
        self, channels: int, filters: int, stride: int = 1, kernel_size: int | None = None
    ) -> list[Layer]:
        """A convolution without bias, as the normalisation behind it has one."""
        size = self.kernel_size if kernel_size is None else kernel_size
        conv = self.conv(channels, filters, size, stride, size // 2, bias=self.norm == "none")
        return [conv, *self.normalize(filters)]


@dataclass(frozen=True, kw_only=True)
class DenseNetwork(Plan):
    """Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional Networks" (2017).

    DenseNet-BC of section 3: three blocks, in which every unit sees what all before it have made;
    bottlenecks of 4 * growth channels, and half of the channels left between blocks. Of the
    ``depth`` layers all but four stand in units, two in each. With 16 an epoch takes as long as
    one of `resnet20`; the paper has 100 to 250.
    """

    norm: str = "batch"
    depth: int = 16
    growth: int = 12

    def layers(self, input_shape: Shape, classes: int) -> list[Layer]:
        growth = whole(self.name, "growth", self.growth)
        units, rest = divmod(whole(self.name, "depth", self.depth) - 4, 6)
        if rest or units < 1:
            raise ValueError(
                f"{self.name}: depth must be 4 more than a multiple of 6, such as 16 or 40, "
                f"got {self.depth}"
            )
        channels = 2 * growth
        layers: list[Layer] = [self.conv(input_shape[0], channels, 3, padding=1, bias=False)]
        for block in range(3):
            if block:
                layers += [*self._unit(channels, channels // 2), AveragePool2D(2, padding="same")]
                channels //= 2
            for _ in range(units):
                bottleneck = self._unit(channels, 4 * growth)
                layers.append(Concatenate([*bottleneck, *self._unit(4 * growth, growth, 3)]))
                channels += growth
        layers += [*self.normalize(channels), self.activate(), GlobalAveragePool2D()]
        return [*layers, self.dense(channels, classes)]

    def _unit(self, in_channels: int, out_channels: int, kernel_size: int = 1) -> list[Layer]:
        """Norm, activation and a convolution without bias that leaves the size as it is."""
        conv = self.conv(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False
        )
        return [*self.normalize(in_channels), self.activate(), conv]


@dataclass(frozen=True, kw_only=True)
class DepthwiseNetwork(Plan):
    """Howard et al., "MobileNets: Efficient Convolutional Neural Networks" (2017), section 3.

    Blocks of a depthwise convolution, which sees one channel at a time, and a 1 x 1 convolution,
    which mixes them: an eighth or ninth of the multiplications of a 3 x 3 convolution. The first of
    the ``filters`` are those of the plain convolution in front; then one block, and two for each
    further number, the first of which halves the image.
    """

    norm: str = "batch"
    filters: tuple[int, ...] = (32, 64, 128, 256)
    kernel_size: int = 3

    def layers(self, input_shape: Shape, classes: int) -> list[Layer]:
        channels = self.filters[0]
        layers = self._conv(input_shape[0], channels)
        for stage, filters in enumerate(self.filters[1:]):
            for stride in (1,) if stage == 0 else (2, 1):
                layers += self._conv(channels, channels, stride, groups=channels)
                layers += self._conv(channels, filters, kernel_size=1)
                channels = filters
        return [*layers, GlobalAveragePool2D(), self.dense(channels, classes)]

    def _conv(
        self,
        channels: int,
        filters: int,
        stride: int = 1,
        kernel_size: int | None = None,
        groups: int = 1,
    ) -> list[Layer]:
        """A convolution, norm and activation."""
        size = self.kernel_size if kernel_size is None else kernel_size
        bias = self.norm == "none"
        conv = self.conv(channels, filters, size, stride, size // 2, bias, groups)
        return [conv, *self.normalize(filters), self.activate()]
