//! What the window can do and what `windlassctl` can do: one table.
//!
//! The window's commands (`src-tauri/src/commands`) and the command line's verbs are each checked
//! against it, so that neither can do what the other cannot without saying why.

/// A command of the window, and the verb that does the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verb {
    /// The window's command.
    pub command: &'static str,
    /// How it is done in a terminal.
    pub way: Way,
}

/// How a command of the window is done in a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// With this command line after `windlassctl`; words in capitals stand for what the user names.
    Verb(&'static str),
    /// Not at all, because it makes sense in a window alone.
    WindowOnly(&'static str),
}

use Way::{Verb as With, WindowOnly};

/// Every command of the window.
pub const VERBS: &[Verb] = &[
    verb("inspect", With("info FILE")),
    verb("appliance_list", With("appliance list")),
    verb("appliance_get", With("package describe NAME")),
    verb("appliance_add", With("appliance add FOLDER")),
    verb("appliance_remove", With("appliance remove NAME")),
    verb("appliance_contents", With("appliance contents NAME")),
    verb("appliance_tree", With("appliance contents NAME /FOLDER")),
    verb("appliance_run_form", With("appliance settings NAME")),
    verb(
        "appliance_save_settings",
        With("appliance settings NAME --memory 512M"),
    ),
    verb("appliance_preview_boot", With("run NAME --dry-run")),
    verb(
        "appliance_build",
        With("package compose NAME --path FOLDER"),
    ),
    verb("appliance_run", With("run NAME")),
    verb("appliance_run_with", With("run NAME --count 5 --live")),
    verb("sample_list", With("sample list")),
    verb("sample_create", With("sample create hello")),
    verb("build_list", With("images")),
    verb("build_run", With("run --build BUILD")),
    verb("build_delete", With("rmi BUILD")),
    verb("image_info", With("image info IMAGE")),
    verb("image_list", With("image ls IMAGE /FOLDER")),
    verb("image_search", With("image search IMAGE TEXT")),
    verb("image_read_text", With("image cat IMAGE /FILE")),
    verb("image_sizes", With("image sizes IMAGE")),
    verb("image_extract", With("image cp IMAGE /FILE FOLDER")),
    verb(
        "image_drag_out",
        WindowOnly("a window alone has a pointer; `image cp` copies"),
    ),
    verb("image_verify", With("image verify IMAGE")),
    verb("image_verification", With("image verify IMAGE")),
    verb("image_compare", With("image diff IMAGE OTHER")),
    verb("image_comparison", With("image diff IMAGE OTHER")),
    verb(
        "image_set_command_line",
        With("image set-cmdline IMAGE TEXT"),
    ),
    verb("image_replace_file", With("image replace IMAGE /FILE FILE")),
    verb("image_convert", With("image convert IMAGE FILE")),
    verb("image_import", With("image import FILE")),
    verb("image_resize", With("image resize IMAGE 1G")),
    verb("images", With("image imported")),
    verb("image_delete", With("image rm IMAGE")),
    verb("build_export_lists", With("image lists BUILD FOLDER")),
    verb("volumes", With("volume ls")),
    verb("volume_create", With("volume create NAME --size 1G")),
    verb("volume_resize", With("volume resize NAME 2G")),
    verb("volume_delete", With("volume rm NAME")),
    verb("doctor", With("doctor")),
    verb("kernel_list", With("kernel list")),
    verb("kernel_add", With("kernel add FILE")),
    verb("kernel_fetch_linux", With("kernel fetch")),
    verb("kernel_remove", With("kernel remove ID")),
    verb("kernel_fetch_osv", With("kernel fetch osv")),
    verb("registry_list", With("registry list")),
    verb("registry_add", With("registry add NAME URL")),
    verb("registry_update", With("registry update NAME --url URL")),
    verb("registry_remove", With("registry remove NAME")),
    verb("registry_reorder", With("registry reorder NAME")),
    verb("registry_enable", With("registry enable NAME")),
    verb("registry_check", With("registry check NAME")),
    verb("registry_refresh", With("registry refresh")),
    verb("cloud_list", With("cloud list")),
    verb("cloud_add", With("cloud add NAME URL")),
    verb("cloud_update", With("cloud update NAME --url URL")),
    verb("cloud_remove", With("cloud remove NAME")),
    verb("cloud_import_preview", With("cloud import FILE --preview")),
    verb("cloud_import", With("cloud import FILE")),
    verb("cloud_export", With("cloud export FILE")),
    verb("cloud_check", With("cloud test NAME")),
    verb("cloud_quotas", With("cloud quota NAME")),
    verb("cloud_credential_make", With("cloud credential NAME")),
    verb("cloud_image_page", With("cloud images NAME")),
    verb("cloud_image_change", With("cloud image-set NAME IMAGE")),
    verb("cloud_image_delete", With("cloud image-rm NAME IMAGE")),
    verb("cloud_image_fetch", With("cloud image-get NAME IMAGE FILE")),
    verb("cloud_image_push", With("image push IMAGE --cloud NAME")),
    verb("cloud_deploy_choices", With("deploy IMAGE --cloud NAME")),
    verb("cloud_deploy", With("deploy IMAGE --cloud NAME")),
    verb("cloud_server_page", With("server list NAME")),
    verb("cloud_server", With("server show NAME SERVER")),
    verb(
        "cloud_server_as_shown",
        With("server show NAME SERVER --raw"),
    ),
    verb("cloud_server_history", With("server history NAME SERVER")),
    verb("cloud_server_log", With("server logs NAME SERVER")),
    verb("cloud_server_choices", With("server choices NAME")),
    verb(
        "cloud_server_console_open",
        With("server console NAME SERVER"),
    ),
    verb(
        "cloud_server_display_open",
        WindowOnly("a terminal shows no pictures"),
    ),
    verb("cloud_server_change", With("server stop NAME SERVER")),
    verb("cloud_leftovers", With("cleanup NAME --dry-run")),
    verb("cloud_cleanup", With("cleanup NAME")),
    verb("study_list", With("study list")),
    verb("study_new", With("study add FOLDER")),
    verb("study_tutorials", With("study tutorials")),
    verb("study_remove", With("study remove FOLDER")),
    verb("study_check", With("study check FOLDER")),
    verb(
        "study_text",
        WindowOnly("a terminal has editors for study.yaml"),
    ),
    verb(
        "study_save_text",
        WindowOnly("a terminal has editors for study.yaml"),
    ),
    verb("study_prepare", With("study prepare FOLDER")),
    verb("study_case", With("study values FOLDER")),
    verb(
        "study_form",
        WindowOnly("a terminal has editors for study.yaml"),
    ),
    verb(
        "study_save_form",
        WindowOnly("a terminal has editors for study.yaml"),
    ),
    verb(
        "study_load_table",
        WindowOnly("a terminal has editors for study.yaml"),
    ),
    verb(
        "study_room",
        WindowOnly("a terminal has other programs that tell of cores and memory"),
    ),
    verb("study_run", With("study run FOLDER")),
    verb("study_stop", With("study stop FOLDER --run 1")),
    verb("study_extend", With("study extend FOLDER --to 100")),
    verb("study_provenance", With("study provenance FOLDER --run 1")),
    verb("study_repeat", With("study repeat FOLDER --run 1")),
    verb("study_runs", With("study watch FOLDER")),
    verb("study_series", With("study watch FOLDER")),
    verb("study_results", With("study results FOLDER")),
    verb("stack_list", With("stack list NAME")),
    verb("stack_get", With("stack show NAME STACK")),
    verb("stack_launch", With("stack launch APPLIANCE --cloud NAME")),
    verb(
        "stack_preview",
        With("stack launch APPLIANCE --cloud NAME --preview"),
    ),
    verb("stack_delete", With("stack delete NAME STACK")),
    verb("stack_text", With("stack template APPLIANCE")),
    verb(
        "stack_save_text",
        With("stack template APPLIANCE --output FILE"),
    ),
    verb("secrets_backend", With("doctor")),
    verb(
        "secrets_unlock",
        WindowOnly("the verbs that need it ask for the passphrase, or take WINDLASS_PASSPHRASE"),
    ),
    verb("package_search", With("package search TEXT")),
    verb("package_details", With("package describe NAME")),
    verb("package_tree", With("package describe NAME --files")),
    verb("package_graph", With("package graph NAME")),
    verb("package_pull", With("package pull NAME")),
    verb(
        "package_accept_digest",
        With("registry accept REGISTRY PACKAGE"),
    ),
    verb("package_remove", With("package remove NAME")),
    verb("package_publish", With("package publish NAME REGISTRY")),
    verb("package_export", With("package export NAME FILE")),
    verb("package_update_plan", With("package update --plan")),
    verb("package_update", With("package update")),
    verb("pack_kinds", With("package pack FILE --preview")),
    verb(
        "pack_fetch_image",
        With("package pack --as oci debian:12 --preview"),
    ),
    verb("pack_preview", With("package pack FILE --preview")),
    verb("pack_make", With("package pack FILE")),
    verb("recipe_list", With("package recipe list")),
    verb("recipe_build", With("package recipe build NAME")),
    verb("library_usage", With("library usage")),
    verb("library_verify", With("library verify")),
    verb("library_repair", With("library repair")),
    verb("library_prune_plan", With("library prune --plan")),
    verb("library_prune", With("library prune")),
    verb("capstan_look", With("capstan look")),
    verb("capstan_import", With("capstan import")),
    verb(
        "appliance_layers_set",
        With("appliance layers NAME --set PACKAGE"),
    ),
    verb(
        "appliance_manifest_text",
        WindowOnly("the file is in the appliance's folder, for any editor"),
    ),
    verb(
        "appliance_manifest_save",
        WindowOnly("the file is in the appliance's folder, for any editor"),
    ),
    verb("appliance_manifest_check", With("package check")),
    verb("manifest_schema", With("package schema package")),
    verb("appliance_graph", With("package graph NAME")),
    verb("appliance_conflicts", With("package collect --conflicts")),
    verb("appliance_size_map", With("appliance sizes NAME")),
    verb("appliance_lock", With("appliance lock NAME")),
    verb(
        "appliance_lock_update",
        With("appliance lock NAME --update"),
    ),
    verb("appliance_fix", With("appliance fix NAME")),
    verb(
        "appliance_configuration_save",
        With("runtime set NAME CONFIGURATION main=/server.js"),
    ),
    verb(
        "appliance_configuration_add",
        With("runtime set NAME CONFIGURATION main=/server.js"),
    ),
    verb(
        "appliance_configuration_remove",
        With("runtime remove NAME CONFIGURATION"),
    ),
    verb(
        "appliance_configuration_rename",
        With("runtime rename NAME CONFIGURATION NEW-NAME"),
    ),
    verb(
        "appliance_configuration_set_default",
        With("runtime default NAME CONFIGURATION"),
    ),
    verb("host_links", With("network links")),
    verb("private_networks", With("network ls")),
    verb("network_join", With("network join NAME NETWORK")),
    verb("network_leave", With("network leave NAME NETWORK")),
    verb("capture_start", With("machine capture start NAME")),
    verb("capture_stop", With("machine capture stop NAME")),
    verb("captures", With("machine capture list NAME")),
    verb("guest_now", With("machine guest ps NAME")),
    verb("guest_environment", With("machine guest env NAME")),
    verb("guest_kernel_log", With("machine guest dmesg NAME")),
    verb("guest_trace", With("machine guest trace NAME")),
    verb(
        "guest_trace_count",
        With("machine guest trace NAME --count EVENT"),
    ),
    verb("guest_folder", With("machine guest ls NAME /FOLDER")),
    verb("guest_get", With("machine guest get NAME /FILE FOLDER")),
    verb("guest_put", With("machine guest put NAME FILE /FOLDER")),
    verb("snapshot_list", With("machine snapshot list NAME")),
    verb("snapshot_take", With("machine snapshot take NAME TEXT")),
    verb(
        "snapshot_revert",
        With("machine snapshot revert NAME SNAPSHOT"),
    ),
    verb(
        "snapshot_delete",
        With("machine snapshot delete NAME SNAPSHOT"),
    ),
    verb("folder_share", With("machine share NAME FOLDER:/PATH")),
    verb("folder_unshare", With("machine unshare NAME /PATH")),
    verb("volume_attach", With("volume attach NAME VOLUME:/data")),
    verb("volume_detach", With("volume detach NAME VOLUME")),
    verb("machine_list", With("machine list")),
    verb("machine_start", With("machine start NAME")),
    verb("machine_pause", With("machine pause NAME")),
    verb("machine_resume", With("machine resume NAME")),
    verb("machine_stop", With("machine stop NAME")),
    verb("machine_kill", With("machine kill NAME")),
    verb("machine_restart", With("machine restart NAME")),
    verb("machine_clone", With("machine clone NAME NEW-NAME")),
    verb("machine_group", With("machine group NAME --group GROUP")),
    verb("machine_resources", With("machine resources NAME")),
    verb(
        "machine_resources_set",
        With("machine resources NAME --memory 1G"),
    ),
    verb("machine_memory_shortage", With("machine start NAME")),
    verb("machine_debug_bundle", With("machine debug-bundle NAME")),
    verb("group_up", With("group up FILE")),
    verb("group_view", With("group show GROUP")),
    verb("group_figures", With("group show GROUP")),
    verb("group_start", With("machine start --group GROUP")),
    verb("group_stop", With("machine stop --group GROUP")),
    verb("group_delete", With("machine delete --group GROUP")),
    verb("machine_delete", With("machine delete NAME")),
    verb("machine_rename", With("machine rename NAME NEW-NAME")),
    verb("machine_details", With("machine details NAME")),
    verb("machine_loads", With("machine stats NAME")),
    verb(
        "machine_load_history",
        WindowOnly("curves are for the eye; `windlassctl machine stats` tells the numbers of now"),
    ),
    verb("machine_screenshot", With("machine screenshot NAME")),
    verb(
        "machine_thumbnail",
        WindowOnly("`machine screenshot` saves the whole screen"),
    ),
    verb("machine_push", With("machine push NAME")),
    verb("machine_push_preview", With("machine push NAME --dry-run")),
    verb("machine_last_push", With("machine push NAME")),
    verb(
        "machine_open_port",
        WindowOnly("`windlassctl instances` shows the ports; a browser opens them"),
    ),
    verb("console_open", With("machine console NAME")),
    verb(
        "console_acknowledge",
        WindowOnly("part of how bytes reach the window"),
    ),
    verb("console_save", With("machine logs NAME")),
    verb(
        "display_open",
        WindowOnly("a terminal shows no screen; `machine screenshot` takes a picture of it"),
    ),
    verb(
        "stream_write",
        WindowOnly("part of how bytes reach the machine"),
    ),
    verb(
        "stream_close",
        WindowOnly("part of how bytes reach the window"),
    ),
    verb("job_list", With("job list")),
    verb("job_log", With("job log ID")),
    verb("job_cancel", With("job cancel ID")),
    verb("job_retry", With("job retry ID")),
    verb(
        "job_pause",
        WindowOnly("in a terminal Ctrl+Z lets it wait; what was fetched is kept"),
    ),
    verb("job_resume", WindowOnly("`fg` lets it go on")),
    verb("settings_get", With("settings get")),
    verb("settings_set", With("settings set theme dark")),
    verb("about", With("config print")),
    verb("pick_folder", WindowOnly("a dialog")),
    verb("pick_files", WindowOnly("a dialog")),
    verb("pick_save_path", WindowOnly("a dialog")),
    verb(
        "opened_paths",
        WindowOnly("what was double-clicked in the file manager"),
    ),
    verb(
        "text_save",
        WindowOnly("windlassctl writes where the shell says"),
    ),
    verb(
        "reveal_path",
        WindowOnly("opens the desktop's file manager"),
    ),
    verb(
        "notify",
        WindowOnly("`;` or `&&` tells when a command ends"),
    ),
    verb("window_close_answer", WindowOnly("a dialog")),
];

const fn verb(command: &'static str, way: Way) -> Verb {
    Verb { command, way }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_command_is_there_twice() {
        let mut commands: Vec<_> = VERBS.iter().map(|verb| verb.command).collect();
        commands.sort_unstable();
        commands.dedup();
        assert_eq!(commands.len(), VERBS.len());
    }
}
