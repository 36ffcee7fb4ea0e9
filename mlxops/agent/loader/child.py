"""The child process that asks mlx-lm about one model, under the runtime's interpreter.

stdin: one JSON request line, then nothing; end of file ends this process at once. stdout: JSON
lines: {"stage": NAME} before each stage, and fields of the description; {"end": true} last. No
weights are read and no array is evaluated. Run as text, never as a script."""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import importlib.util
import inspect
import io
import json
import os
import resource
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple


class TooSlow(Exception):
    """The stage took more of the processor than any model needs."""


# What a fault of config.json or of the weights raises; a lack of MLX or of the machine raises other
# errors.
REFUSALS = (
    TypeError,
    ValueError,
    KeyError,
    AttributeError,
    IndexError,
    ZeroDivisionError,
    OverflowError,
    RecursionError,
    MemoryError,
    ImportError,
    SystemExit,
    TooSlow,
)
MAX_LAYERS = 10_000
MAX_CPU_S, MAX_TEMPLATE_CPU_S = 6.0, 2.0
Record = Dict[str, Any]

# The parent sends their text with that of this module.
cache: Any = sys.modules.get("child_cache")
speech: Any = sys.modules.get("child_tokenizer")


class Wire:
    """The original stdout of this process, for records only. Everything else prints to stderr.
    `fields`: what was emitted."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "w", encoding="ascii")
        os.dup2(2, 1)
        self.fields: Record = {}

    def emit(self, **record: Any) -> None:
        self.fields.update(record)
        self._stream.write(json.dumps(record) + "\n")
        self._stream.flush()


def exit_with_parent() -> None:
    try:
        sys.stdin.buffer.read()
    finally:
        os._exit(3)


def limit(request: Record) -> None:
    """Bounds that hold without the parent, and where a library keeps the interpreter busy."""
    os.nice(10)
    signal.alarm(int(request["alarm_s"]))
    bounds = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: request["file_bytes"],
        resource.RLIMIT_AS: request["address_bytes"],
        resource.RLIMIT_DATA: request["data_bytes"],
    }
    for which, most in bounds.items():
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(which, (most, most))


@contextlib.contextmanager
def bounded(seconds: float = MAX_CPU_S) -> Iterator[None]:
    """TooSlow after so many seconds of computing, which a busy machine does not shorten."""

    def stop(*_: object) -> None:
        raise TooSlow("not done after %.0f s of computing" % seconds)

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def cause(exc: BaseException) -> str:
    text = " ".join(str(exc).split())[:400]
    line = getattr(exc, "lineno", None)
    text = "line %d: %s" % (line, text) if isinstance(line, int) else text
    name = type(exc).__name__
    plain = text and name in ("ValueError", "TooSlow", "TemplateError", "TemplateSyntaxError")
    return text if plain else "%s: %s" % (name, text)


def require_sane(config: Record) -> Record:
    """The config; ValueError for more layers than any model has."""
    inner = [config.get(k) for k in ("text_config", "llm_config", "language_config")]
    for part in (config, *(p for p in inner if isinstance(p, dict))):
        for key in ("num_hidden_layers", "n_layers", "n_layer", "num_layers"):
            if type(part.get(key)) is int and part[key] > MAX_LAYERS:
                raise ValueError("%s is %d" % (key, part[key]))
    return config


def build(request: Record, config: Record) -> Any:
    """The model with lazy random weights, of the type that the config gives."""
    import mlx.core as mx

    model = build_vision(config) if request.get("vision") else build_text(config)
    inner = [config.get(k) for k in ("text_config", "llm_config", "language_config")]
    texts = [config, *(part for part in inner if isinstance(part, dict))]
    words = [part.get(key) for part in texts for key in ("torch_dtype", "dtype")]
    known = [w for w in words if w in ("float32", "float16", "bfloat16")]
    # They begin as float32.
    model.set_dtype(getattr(mx, known[0] if known else "bfloat16"))
    model.eval()
    return model


def build_text(config: Record) -> Any:
    from mlx_lm.utils import _get_classes

    try:
        classes = _get_classes(config=config)
    except AttributeError as exc:
        raise ValueError("Model type %s not supported." % config["model_type"]) from exc
    return classes[0](classes[1].from_dict(config))


def build_vision(config: Record) -> Any:
    """The language model of a model for text and images, as mlx-vlm builds it."""
    vlm: Any = importlib.import_module("mlx_vlm.utils")
    classes = vlm.get_model_and_args(config=config)[0]
    parts = ["text", "vision", "perceiver", "projector", "audio"]
    settings = classes.ModelConfig.from_dict(config)
    return classes.Model(vlm.update_module_configs(settings, classes, config, parts)).language_model


def refusal_of(work: Any) -> Tuple[Any, str]:
    """The result of `work`, or None and the words of mlx-lm against it."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), bounded():
            return work(), ""
    except REFUSALS as exc:
        printed = " ".join(said.getvalue().split())[:400]
        return None, printed if isinstance(exc, SystemExit) and printed else cause(exc)


def has_trust_option() -> bool:
    from mlx_lm.utils import load_model

    return "trust_remote_code" in inspect.signature(load_model).parameters


def load_lazily(request: Record) -> Any:
    """The model as the server loads it, with weights that are not read beyond their headers."""
    from mlx_lm.utils import load_model

    more = {"trust_remote_code": request["remote_code"]} if has_trust_option() else {}
    return load_model(Path(request["path"]), lazy=True, strict=True, **more)[0]


def weight_faults(files: List[str], why: str) -> Dict[str, str]:
    """`why` the weights cannot be loaded, under the names of the files that it concerns."""
    import mlx.core as mx

    faults: Dict[str, str] = {}
    owners: Dict[str, str] = {}
    for file in files:
        try:
            tensors: Any = mx.load(file)
            owners.update(dict.fromkeys(tensors, os.path.basename(file)))
        except Exception as exc:
            faults[os.path.basename(file)] = cause(exc)
    named = {name for tensor, name in owners.items() if tensor in why}
    return faults or dict.fromkeys(named if len(named) < len(files) else (), why) or {"": why}


def describe_model(request: Record, wire: Wire) -> Any:
    """Emit `refusal`, or `faults` of the weights; return the model, None if there is none."""
    config, why = refusal_of(lambda: require_sane(json.loads(request["config"])))
    model, own = None, None if why else config.get("model_file")
    if why:
        wire.emit(refusal="config.json: " + why)
    elif own is not None and not request["remote_code"]:
        # Without the option, mlx-lm runs it unasked.
        if has_trust_option():
            wire.emit(remote_code="config.json names %s as the model's code" % own)
    elif own is None:
        model, why = refusal_of(lambda: build(request, config))
        if why:
            wire.emit(refusal=why)
    may_load = not why and (own is None or request["remote_code"])
    by_lm = request.get("path") and not request.get("vision")
    return load_or_keep(request, wire, model) if by_lm and may_load else model


def load_or_keep(request: Record, wire: Wire, model: Any) -> Any:
    """The model with the types of its weights; the one built from its config if they are faulty."""
    files = glob.glob(os.path.join(glob.escape(request["path"]), request["weights"]))
    try:
        loaded, why = refusal_of(lambda: load_lazily(request))
    except (OSError, RuntimeError) as exc:
        loaded, why = None, cause(exc)
    except Exception as exc:
        loaded, why = None, ""
        print("not loaded: " + cause(exc), file=sys.stderr)
    if why and files:
        wire.emit(faults=weight_faults(files, why))
    return model if loaded is None else loaded


def describe_cache(model: Any, wire: Wire) -> None:
    from mlx_lm.models.cache import make_prompt_cache

    wire.emit(stage="cache")
    try:
        with bounded():
            shape = cache.cache_of(model, make_prompt_cache)
        wire.emit(cache=shape)
    except Exception as exc:
        wire.emit(failure="no cache: " + cause(exc))


def describe_tokenizer(request: Record, wire: Wire, opened: Any) -> None:
    folder = request["path"]
    wire.emit(stage="tokenizer")
    try:
        with contextlib.redirect_stdout(sys.stderr), bounded():
            tokenizer = speech.load(request)
        wire.emit(template=speech.template_source(tokenizer, folder))
        wire.emit(remote_code=wire.fields.get("remote_code", ""))
        opened.names += speech.vocabulary_files(tokenizer, folder)
    except Exception as exc:
        wire.emit(tokenizer_error=cause(exc))
        code = "" if request["remote_code"] else speech.own_code(folder)
        if code:
            wire.emit(remote_code=code)
        return
    wire.emit(stage="template")
    if request.get("template") or getattr(tokenizer, "has_chat_template", True):
        if request.get("template"):
            tokenizer.chat_template = request["template"]
        limit_cpu = partial(bounded, MAX_TEMPLATE_CPU_S)
        wire.emit(template_error=speech.template_error(tokenizer, limit_cpu, cause))


def listed(request: Record) -> List[str]:
    """The files of a repository that mlx-lm would download."""
    from mlx_lm import utils

    patterns = getattr(utils, "DEFAULT_ALLOW_PATTERNS", ["*.json", request["weights"]])
    names = request.get("files") or {}
    return sorted(n for n in names if any(fnmatch.fnmatch(n, p) for p in patterns))


def describe(request: Record, wire: Wire) -> None:
    import mlx.core as mx

    mx.set_default_device(mx.cpu)
    from importlib.metadata import version

    if not request.get("vision"):
        wire.emit(program="mlx-lm " + version("mlx-lm"))
    elif importlib.util.find_spec("mlx_vlm"):
        wire.emit(program="mlx-vlm " + version("mlx-vlm"))
    else:
        wire.emit(program="mlx-vlm", refusal="mlx-vlm is not installed")
        return
    cache.keep_lazy(mx)
    from mlx_lm.utils import load_model

    request["weights"] = speech.weights_pattern(load_model)
    folder = request.get("path")
    blocking = speech.blocking_file(folder) if folder else ""
    if blocking:
        wire.emit(faults={blocking: "not a regular file"})
        return
    opened = speech.Opened(folder) if folder else None
    wire.emit(stage="model")
    model = describe_model(request, wire)
    if model is not None:
        describe_cache(model, wire)
    if request.get("vision"):
        return
    if opened and not wire.fields.get("refusal"):
        describe_tokenizer(request, wire, opened)
        weights = glob.glob(os.path.join(glob.escape(opened.folder), request["weights"]))
        wire.emit(reads=sorted({*opened.names, *map(os.path.basename, weights)}))
    elif not folder:
        wire.emit(reads=listed(request))


def main() -> None:
    wire = Wire()
    request = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=exit_with_parent, daemon=True).start()
    limit(request)
    status = 1
    try:
        describe(request, wire)
        wire.emit(end=True)
        status = 0
    except BaseException as exc:
        print(cause(exc), file=sys.stderr)
    finally:
        # Python would abort at its end, as a thread waits for its stdin.
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
