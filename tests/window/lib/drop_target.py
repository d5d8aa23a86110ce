"""A small window that files can be let go over, as a file manager's would be: it copies them into a folder.

Arguments: the position on the screen (X Y) and the folder. Says "mapped", "over" when something is held over it, and
"took NAME" for each file that it has copied.
"""
import pathlib
import shutil
import sys

import gi

gi.require_version("Gdk", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import Gdk, Gio, Gtk  # noqa: E402

x, y, folder = int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])


def say(*words):
    print(*words, flush=True)


def received(widget, context, _x, _y, data, _info, time):
    # As file managers do: they ask for the addresses after the drop, and copy from there.
    for uri in data.get_uris() or []:
        path = pathlib.Path(Gio.File.new_for_uri(uri).get_path())
        to = folder / path.name
        if path.is_dir():
            shutil.copytree(path, to, symlinks=True)
        else:
            shutil.copy2(path, to)
        say("took", path.name)
    Gtk.drag_finish(context, True, False, time)


def motion(widget, context, _x, _y, time):
    Gdk.drag_status(context, Gdk.DragAction.COPY, time)
    say("over")
    return True


def dropped(widget, context, _x, _y, time):
    widget.drag_get_data(context, Gdk.Atom.intern("text/uri-list", False), time)
    return True


label = Gtk.Label(label="Let go here")
window = Gtk.Window(title="Drop target", decorated=False)
window.set_default_size(120, 120)
window.set_keep_above(True)
window.add(label)
# Without the defaults, so that the data are asked for at the drop and not before.
window.drag_dest_set(0, [], Gdk.DragAction.COPY)
window.drag_dest_add_uri_targets()
window.connect("drag-motion", motion)
window.connect("drag-drop", dropped)
window.connect("drag-data-received", received)
window.connect("destroy", Gtk.main_quit)
window.move(x, y)
window.show_all()
window.connect_after("map-event", lambda *_: say("mapped"))
Gtk.main()
