import pathlib
import re

from setuptools import find_packages, setup

root = pathlib.Path(__file__).parent
version = re.search(
    r'__version__ = "(.+)"', (root / "keras_larp/version.py").read_text()
).group(1)

# Lower bounds are tested by `make test-lowest`.
extras = {
    "jax": ["jax>=0.10"],
    # The CPU build; on a machine with a GPU install `tensorflow[and-cuda]`.
    "tensorflow": ["tensorflow-cpu>=2.21"],
    "torch": ["torch>=2.13"],
    "data": ["av>=17.1", "grain>=0.2.18", "pillow>=11"],
    # Emulator and games; the package is under the GPL.
    "atari": ["ale-py>=0.11", "pillow>=11"],
    "cv": ["keras-cv>=0.9"],
    # The last tensorflow-io works only with this TensorFlow, in a separate
    # environment.
    "tfio": ["tensorflow-io==0.37.1", "tensorflow==2.16.*"],
    "hub": ["huggingface_hub>=0.30", "kagglehub>=0.3.10"],
    "viz": ["av>=17.1", "matplotlib>=3.9", "pillow>=11", "tensorboard>=2.20"],
    # Tokenization on a cluster.
    "ray": ["ray[data]>=2.50"],
    "docs": [
        "mkdocs>=1.6,<2",
        "mkdocs-material>=9.6",
        "mkdocstrings-python>=2",
    ],
    "dev": [
        # The emulator is under the GPL, and therefore not in `all`.
        "ale-py>=0.11",
        "build>=1.2",
        "codespell>=2.4",
        "hypothesis>=6",
        "import-linter>=2.17",
        "mypy>=2.4",
        "pytest>=8",
        "pytest-xdist>=3.6",
        "ray[data]>=2.50",
        "ruff>=0.12",
        "twine>=6",
    ],
}
extras["all"] = sorted(
    {
        requirement
        for name in (
            "jax",
            "tensorflow",
            "torch",
            "data",
            "hub",
            "viz",
        )
        for requirement in extras[name]
    }
)

setup(
    name="keras-larp",
    version=version,
    description="LARP video tokenization and generation for Keras 3",
    long_description=(root / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords=[
        "autoregressive",
        "jax",
        "keras",
        "larp",
        "tensorflow",
        "torch",
        "vector quantization",
        "video generation",
        "video tokenizer",
    ],
    project_urls={
        "Paper": "https://arxiv.org/abs/2410.21264",
        "Reference implementation": "https://github.com/hywang66/LARP",
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Video",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    packages=find_packages(include=["keras_larp", "keras_larp.*"]),
    package_data={
        "keras_larp": [
            "py.typed",
            *("**/*.txt", "**/*.json", "**/*.npz"),
            *("presets/bundled/**/*.h5", "presets/bundled/**/*.md"),
        ]
    },
    install_requires=[
        "absl-py>=2",
        "h5py>=3.11",
        "keras>=3.15,<4",
        "numpy>=1.26",
        "safetensors>=0.4",
    ],
    extras_require=extras,
    entry_points={"console_scripts": ["keras-larp=keras_larp.cli.main:main"]},
)
