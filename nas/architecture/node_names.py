"""What a node of an architecture may be called.

A node's name is the path of its module, so it stands in the source that `torch.fx` writes for a compiled model and in
exported files, which are run. Architectures come out of files and databases that others wrote: whatever is no plain path
of words is refused, whichever way it came in.
"""

from __future__ import annotations

import keyword
import re
from functools import lru_cache
from typing import Final

from nas.errors import AssignmentError
from nas.text.formatting import shorten

MAX_CHARACTERS: Final = 1_000
MAX_WORDS: Final = 100
"""Python's own limits on nested source lie at about ten times as much."""
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,5}", re.ASCII)

# Written out, because reading a space or an architecture needs no PyTorch, which takes a second to import; the same in all
# versions that nas admits (a test compares).
_OF_MODULES: Final = """
    T_destination _apply _backward_hooks _backward_pre_hooks _buffers _call_impl _compiled_call_impl
    _forward_hooks _forward_hooks_always_called _forward_hooks_with_kwargs _forward_pre_hooks
    _forward_pre_hooks_with_kwargs _get_backward_hooks _get_backward_pre_hooks _get_name
    _is_full_backward_hook _load_from_state_dict _load_state_dict_post_hooks _load_state_dict_pre_hooks
    _maybe_warn_non_full_backward_hook _modules _named_members _non_persistent_buffers_set _parameters
    _register_load_state_dict_pre_hook _register_state_dict_hook _replicate_for_data_parallel
    _save_to_state_dict _slow_forward _state_dict_hooks _state_dict_pre_hooks _version _wrapped_call_impl
    add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches eval
    extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict
    modules mtia named_buffers named_children named_modules named_parameters parameters register_backward_hook
    register_buffer register_forward_hook register_forward_pre_hook register_full_backward_hook
    register_full_backward_pre_hook register_load_state_dict_post_hook register_load_state_dict_pre_hook
    register_module register_parameter register_state_dict_post_hook register_state_dict_pre_hook
    requires_grad_ set_extra_state set_submodule share_memory state_dict to to_empty train training type xpu
    zero_grad
"""
OF_MODULES: Final = frozenset(_OF_MODULES.split())
"""Attributes of every module of PyTorch."""
_OF_GRAPHS: Final = """
    _boxed_call _code _create_node_hooks _deepcopy_hooks _deepcopy_init _erase_node_hooks _graph _lineno_map
    _prologue_start _recompile_submodules _register_create_node_hook _register_deepcopy_hook
    _register_erase_node_hook _register_replace_node_hook _replace_hooks _set_replace_hook _tracer_cls
    _tracer_extras _unregister_create_node_hook _unregister_deepcopy_hook _unregister_erase_node_hook
    _unregister_replace_node_hook _wrapped_call add_submodule code delete_all_unused_submodules
    delete_submodule graph meta print_readable recompile shape_env to_folder
"""
OF_GRAPHS: Final = frozenset(_OF_GRAPHS.split())
"""Those that a compiled model has besides."""


@lru_cache(maxsize=1 << 14)
def check_name(name: str) -> None:
    """Raises AssignmentError unless `name` can be the path of a module: ``rest.0.cells.1.attention``."""
    place = f"architecture: node {shorten(name)}"
    parts = name.split(".", MAX_WORDS)
    if len(name) > MAX_CHARACTERS or len(parts) > MAX_WORDS:
        raise AssignmentError(f"{place}: a name has at most {MAX_CHARACTERS:,} characters in {MAX_WORDS} words")
    for depth, part in enumerate(parts):
        if not (_WORD.fullmatch(part) or (depth and _NUMBER.fullmatch(part))):
            raise AssignmentError(
                f"{place}: a name is words of letters, digits and underscores joined by dots, and begins with no digit"
            )
        if problem := taken(part, top=depth == 0):
            raise AssignmentError(f"{place}: {problem}")


def taken(word: str, *, top: bool) -> str | None:
    """Why no module can have this word as its name, on its own (`top`) or below another; None when one can."""
    if word.startswith("__"):
        return f"'{word}' begins with two underscores, as Python's own attributes do"
    if keyword.iskeyword(word):
        return f"'{word}' is a word of Python's grammar"
    if top and word == "self":
        return "'self' is the module that the name is looked up in"
    if word in OF_MODULES or (top and word in OF_GRAPHS):
        return f"every module of PyTorch has an attribute '{word}' already"
    return None
