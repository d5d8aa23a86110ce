"""A small window that a folder can be dragged from, as a file manager's would be: lib/drag.mjs moves the pointer.

Arguments: the position on the screen (X Y) and the paths that are dragged.
"""
import pathlib
import sys

import gi

gi.require_version("Gdk", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import Gdk, Gtk  # noqa: E402

x, y, *paths = sys.argv[1:]
uris = [pathlib.Path(path).absolute().as_uri() for path in paths]

label = Gtk.Label(label="Drag me")
source = Gtk.EventBox()
source.add(label)
source.drag_source_set(Gdk.ModifierType.BUTTON1_MASK, [], Gdk.DragAction.COPY)
source.drag_source_add_uri_targets()
source.connect("drag-data-get", lambda _widget, _context, data, _info, _time: data.set_uris(uris))
source.connect("drag-end", lambda *_: print("ended", flush=True))

window = Gtk.Window(title="Drag source", decorated=False)
window.set_default_size(120, 60)
window.set_keep_above(True)
window.add(source)
window.connect("destroy", Gtk.main_quit)
window.move(int(x), int(y))
window.show_all()
window.connect_after("map-event", lambda *_: print("mapped", flush=True))
Gtk.main()
