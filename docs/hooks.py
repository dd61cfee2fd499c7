"""MkDocs hooks: pages and parts of pages that are generated from the code.

Pages hold directives as HTML comments, each on a line by itself:

    <!-- api keras_larp.data -->   every public name of a subpackage
    <!-- commands -->              every command of `keras-larp` and its flags
    <!-- settings TokenizerRecipe -->   every setting of a recipe
    <!-- modules -->               every module of the package, with one line

Links from pages to repository files outside `docs/`, such as
`../keras_larp/models/lpips.py`, work on code hosts as they are. For the site,
each linked file becomes a page under `repository/`, so that strict link
checking covers these links too.
"""

import ast
import importlib
import inspect
import os
import pathlib
import posixpath
import re
import sys
import textwrap

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).resolve().parents[1]
# The package of this checkout, whichever one is installed.
sys.path.insert(0, str(ROOT))
os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
FLAG = re.compile(r"--\w+(=[\w./]*\w)?")
DIRECTIVE = re.compile(r"^<!-- (\w+) ?(.*?) -->$", re.M)
TRAINING_METHODS = ("compile", "fit", "evaluate", "initialize_codebook")
TRAINING_METHODS += ("loss_terms",)
# Methods that every Keras layer or model has.
PLUMBING = ("build", "call", "compute_output_shape", "get_config")
PLUMBING += ("from_config", "get_build_config", "build_from_config")
PLUMBING += ("get_compile_config", "compile_from_config")
PLUMBING += ("save_own_variables", "load_own_variables")
LANGUAGES = {".py": "python", ".sh": "sh", ".json": "json", ".toml": "toml"}


def on_files(files, config):
    """Adds a page for every repository file that a page links to."""
    pending = [
        (f"docs/{file.src_uri}", file.content_string)
        for file in files.documentation_pages()
    ]
    published = set()
    while pending:
        path, text = pending.pop()
        for target in _linked_files(path, text):
            if target in published:
                continue
            published.add(target)
            if target.endswith((".png", ".gif", ".svg")):
                content = (ROOT / target).read_bytes()
                uri = f"repository/{target}"
            else:
                content = _repository_page(target)
                uri = _page_of(target)
                pending.append((target, content))
            files.append(File.generated(config, uri, content=content))
    return files


def on_page_markdown(markdown, page, **_):
    """Expands directives and redirects links to repository files."""
    uri = page.file.src_uri
    path = f"docs/{uri}"
    if uri.startswith("repository/"):
        path = uri.removeprefix("repository/")
        path = path if (ROOT / path).exists() else path.removesuffix(".md")
    markdown = LINK.sub(lambda link: _redirect(link, path, uri), markdown)
    return DIRECTIVE.sub(_expand, markdown)


def _expand(directive):
    name, argument = directive.groups()
    generate = {"api": _api, "commands": _commands}
    generate |= {"settings": _settings, "modules": _modules}
    return generate[name](*argument.split())


# Links to repository files.


def _target(path, link):
    """The repository path that a link on the page at `path` leads to, or
    `None` for pages of the site and other addresses."""
    if re.match(r"[a-z]+:", link):
        return None
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
    is_outside = not target.startswith("docs/")
    return target if is_outside and (ROOT / target).is_file() else None


def _linked_files(path, text):
    targets = [_target(path, link[1]) for link in LINK.findall(text)]
    return [target for target in targets if target]


def _page_of(target):
    suffix = "" if target.endswith(".md") else ".md"
    return f"repository/{target}{suffix}"


def _repository_page(target):
    path = ROOT / target
    text = path.read_text()
    if target.endswith(".md"):
        return text
    language = LANGUAGES.get(path.suffix, "text")
    header = f"---\ntitle: {path.name}\nsearch:\n  exclude: true\n---\n"
    code = f'``` {{ .{language} linenums="1" }}\n{text}\n```\n'
    return f"{header}# `{target}`\n\n{code}"


def _redirect(link, path, uri):
    start, target, end = link.groups()
    target = _target(path, target)
    if target is None:
        return link[0]
    if target.endswith((".png", ".gif", ".svg")):
        page = f"repository/{target}"
    else:
        page = _page_of(target)
    return start + posixpath.relpath(page, posixpath.dirname(uri)) + end


# Generated text.


def _api(package):
    """mkdocstrings directives for every public name of a module."""
    module = importlib.import_module(package)
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == package
    ]
    parts = []
    for name in names:
        value = getattr(module, name)
        if not hasattr(value, "__module__"):  # A submodule.
            continue
        public = f"{package}.{name}"
        directive = (
            f'<a id="{public}"></a>\n\n'
            f"::: {value.__module__}.{value.__qualname__}\n"
            f'    options:\n      heading: "{public}"\n'
            f'      toc_label: "{name}"\n'
        )
        if inspect.isclass(value):
            directive += f"      members: {_members(value)}\n"
        parts.append(directive)
    return "\n".join(parts)


def _members(cls):
    """Names of the methods to document, as a YAML list.

    What mixins of `training` and `backend` define for each other is left out,
    except for the methods that users call or override.
    """
    internal = ("keras_larp.training.", "keras_larp.backend.")
    names = []
    for base in cls.__mro__:
        if not base.__module__.startswith("keras_larp."):
            continue
        is_internal = base.__module__.startswith(internal)
        names += [
            name
            for name in vars(base)
            if name in TRAINING_METHODS
            or not (name.startswith("_") or name in PLUMBING or is_internal)
        ]
    return list(dict.fromkeys(names))


def _settings(recipe):
    """A table per group of settings, one heading level below the page's."""
    recipes = importlib.import_module("keras_larp.recipes")
    table = recipes.settings_table(getattr(recipes, recipe))
    return table.replace("### ", "#### ")


def _modules():
    """The tree of the package, with one sentence about each module."""
    lines, package = [], ROOT / "keras_larp"
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).parts
        indent = "    " * (len(parts) - 1)
        if path.name == "__init__.py":
            name, indent = f"{path.parent.name}/", indent[4:]
        else:
            name = path.name
        lines.append(f"{indent + name:<38}{_summary(path)}".rstrip())
    return "\n".join(["```text", *lines, "```"])


def _summary(path):
    """The first sentence of a module's docstring, or else of its first class
    or function."""
    tree = ast.parse(path.read_text())
    kinds = (ast.ClassDef, ast.FunctionDef)
    nodes = [tree, *(n for n in tree.body if isinstance(n, kinds))]
    texts = [ast.get_docstring(node) for node in nodes]
    text = next(filter(None, texts), "").split("\n\n")[0]
    return re.split(r"(?<=\.) ", " ".join(text.split()))[0]


def _commands():
    """A section per command: its help text and a table of its flags."""
    main = importlib.import_module("keras_larp.cli.main")
    return "\n".join(_command(name) for name in main.COMMANDS)


def _command(name):
    module = re.sub("[- ]", "_", name)
    command = importlib.import_module(f"keras_larp.cli.{module}")
    summary, _, rest = command.__doc__.partition("\n")
    rows = [
        f"| `--{flag.name}` | {_default(flag)} | {_cell(flag.help)} |"
        for flags in command.FLAGS.flags_by_module_dict().values()
        for flag in flags
    ]
    return "\n".join(
        [
            f"## {name}\n\n{summary}\n{_markdown(rest)}\n",
            f'??? note "Flags of `keras-larp {name}`"\n',
            "    | flag | default | description |",
            "    |---|---|---|",
            *(f"    {row}" for row in sorted(rows)),
            "",
        ]
    )


def _markdown(text):
    """A command's docstring: indented command lines as fenced blocks, flags
    as code."""
    blocks = re.split(r"\n((?:    .*\n|\n(?=    ))+)", text)
    for i, block in enumerate(blocks):
        if i % 2:
            code = textwrap.dedent(block).strip("\n")
            blocks[i] = f"\n```sh\n{code}\n```\n"
        else:
            spans = block.split("`")
            spans[::2] = [FLAG.sub(r"`\g<0>`", span) for span in spans[::2]]
            blocks[i] = "`".join(spans)
    return "".join(blocks)


def _default(flag):
    if flag.default is None:
        return ""
    value = flag.default
    if isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    return f"`{value}`"


def _cell(text):
    text = " ".join(text.split())
    return re.sub(r"([|<>*_])", r"\\\1", text)
