"""The cell that defines `fingerprint`, which digests a whole namespace where it lives: in the worker.

Values, types, identities (aliases and cycles are numbered), code and closures of functions all count; what the host
binds does not. Nothing of it recurses, so that deep values have a digest, too.
"""

CELL = r"""
import hashlib as _hashlib, types as _types
_HOST = {"context", "task", "messages", "history", "llm_batch", "llm", "rlm", "rlm_batch", "show_vars", "llm_query",
         "llm_query_batched", "rlm_query", "rlm_query_batched", "SHOW_VARS", "ask_human", "measure", "tell", "once"}

def fingerprint(names=None):
    import collections, enum, functools, random, re
    seen, lines, keep = {}, [], []

    def plain(value):
        kind = type(value)
        if isinstance(value, enum.Enum):
            return f"{kind.__qualname__}.{value.name}"
        if isinstance(value, _types.ModuleType):
            return f"module {value.__name__}"
        if isinstance(value, re.Pattern):
            return f"pattern {value.pattern!r} {value.flags}"
        if isinstance(value, sympy.Basic):
            return f"sympy {sympy.srepr(value)}"
        if isinstance(value, _types.BuiltinFunctionType):
            return f"builtin {value.__qualname__}"
        if isinstance(value, (float, complex, np.generic)):
            return f"{kind.__name__} {value!r}"
        if value is None or isinstance(value, (bool, int)) or kind.__module__ in ("decimal", "datetime", "fractions"):
            return f"{kind.__name__} {value!r}"
        if isinstance(value, type) and value.__module__ != __name__:
            return f"class {value.__module__}.{value.__qualname__}"
        return None

    def parts(value):
        kind = type(value)
        if isinstance(value, (str, bytes)):
            data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
            own = getattr(value, "__dict__", {})  # of a reply of `llm_batch`; its seconds are its own
            return [_hashlib.sha256(data).hexdigest(), *(own[k] for k in sorted(own) if k != "seconds")]
        if isinstance(value, dict):
            rest = [vars(value)] if hasattr(value, "__dict__") else []
            return [*(part for item in value.items() for part in item), *rest]
        if isinstance(value, (set, frozenset)):
            return sorted(value, key=repr)
        if isinstance(value, np.ndarray):
            rows = value.tolist() if value.dtype.hasobject else [value.tobytes()]
            return [str(value.dtype), str(value.shape), str(value.flags.f_contiguous), *rows]
        if isinstance(value, (list, tuple, collections.deque)):
            return list(value)
        if isinstance(value, functools.partial):
            return [value.func, value.args, value.keywords]
        if isinstance(value, _types.MethodType):
            return [value.__self__, value.__func__]
        if isinstance(value, _types.FunctionType):
            code, cells = value.__code__, value.__closure__ or ()
            consts = [repr(const) for const in code.co_consts if not hasattr(const, "co_code")]
            texts = [code.co_code.hex(), *code.co_names, *consts]
            own = {k: v for k, v in vars(value).items() if k != "__wrapped__"}
            return [value.__qualname__, *texts, value.__defaults__, value.__kwdefaults__, *cells, own]
        if isinstance(value, _types.CellType):
            return [value.cell_contents]
        if isinstance(value, (staticmethod, classmethod)):
            return [value.__func__]
        if isinstance(value, property):
            return [value.fget, value.fset, value.fdel]
        if isinstance(value, type):
            own = {k: v for k, v in vars(value).items() if not k.startswith("__") or k in ("__init__", "__doc__")}
            slots = (_types.GetSetDescriptorType, _types.MemberDescriptorType)
            own = {k: v for k, v in own.items() if not isinstance(v, slots)}
            return [value.__qualname__, *value.__bases__, *(p for k in sorted(own) for p in (k, own[k])
                    if not k.startswith("_abc"))]
        if isinstance(value, BaseException):
            return [value.args, {k: v for k, v in vars(value).items() if k != "__notes__"}]
        if isinstance(value, random.Random):
            return [str(value.getstate())]
        if isinstance(value, np.random.Generator):
            return [str(value.bit_generator.state)]
        if hasattr(value, "__wrapped__"):
            return [value.__wrapped__]
        if hasattr(value, "to_json"):
            return [value.to_json()]
        if hasattr(value, "tocoo"):
            return [value.toarray()]
        if hasattr(value, "__dict__"):
            return [vars(value)]
        return [repr(value)]

    names = {k: v for k, v in (globals() if names is None else names).items()
             if k not in _HOST and not (k.startswith("__") and k.endswith("__"))}
    stack = [part for name in sorted(names, reverse=True) for part in (names[name], name)]
    while stack:
        value = stack.pop()
        text = plain(value)
        if text is not None:
            lines.append(text)
        elif type(value) is str and len(value) < 200:
            lines.append(f"str {value!r}")
        elif id(value) in seen:
            lines.append(f"again {seen[id(value)]}")
        else:
            seen[id(value)] = len(seen)
            keep.append(value)
            found = parts(value)
            keep.append(found)
            lines.append(f"{type(value).__module__}.{type(value).__qualname__} of {len(found)}")
            stack.extend(reversed(found))
    return lines

def digest():
    return _hashlib.sha256("\n".join(fingerprint()).encode("utf-8", "backslashreplace")).hexdigest()
"""
