//! The commands that the window may give: one noun per file, thin, no logic.

#![expect(
    clippy::missing_errors_doc,
    reason = "a command fails as the method of the workshop that it calls; the errors are told there"
)]

pub mod appliances;
pub mod builds;
pub mod contents;
pub mod desktop;
pub mod images;
pub mod jobs;
pub mod kernels;
pub mod library;
pub mod machines;
pub mod packages;
pub mod registries;
pub mod settings;
pub mod volumes;

use tauri::Runtime;
use tauri_specta::{Builder, collect_commands};

/// The one list of commands and events, from which the handler and the TypeScript bindings come.
#[expect(clippy::too_many_lines, reason = "it is one list")]
pub fn list<R: Runtime>() -> Builder<R> {
    Builder::<R>::new()
        // Sizes are bytes of this computer's disks: far below 2^53.
        .dangerously_cast_bigints_to_number()
        // The window sends back what it was given: one type for both directions.
        .disable_serde_phases()
        .commands(collect_commands![
            appliances::inspect,
            appliances::appliance_list,
            appliances::appliance_get,
            appliances::appliance_add,
            appliances::appliance_remove,
            appliances::appliance_contents,
            appliances::appliance_tree,
            appliances::appliance_run_form,
            appliances::appliance_save_settings,
            appliances::appliance_preview_boot,
            appliances::sample_list,
            appliances::sample_create,
            contents::appliance_layers_set,
            contents::appliance_manifest_text,
            contents::appliance_manifest_save,
            contents::appliance_manifest_check,
            contents::manifest_schema,
            contents::appliance_graph,
            contents::appliance_conflicts,
            contents::appliance_size_map,
            contents::appliance_lock,
            contents::appliance_lock_update,
            contents::appliance_fix,
            contents::appliance_configuration_save,
            contents::appliance_configuration_add,
            contents::appliance_configuration_remove,
            contents::appliance_configuration_rename,
            contents::appliance_configuration_set_default,
            builds::build_list,
            builds::build_delete,
            builds::build_run,
            builds::appliance_build,
            builds::appliance_run,
            builds::appliance_run_several,
            images::image_info,
            images::image_list,
            images::image_search,
            images::image_read_text,
            images::image_sizes,
            images::image_extract,
            images::image_drag_out,
            images::image_verify,
            images::image_verification,
            images::image_compare,
            images::image_comparison,
            images::image_set_command_line,
            images::image_replace_file,
            images::image_convert,
            images::image_import,
            images::image_resize,
            images::images,
            images::image_delete,
            images::build_export_lists,
            volumes::volumes,
            volumes::volume_create,
            volumes::volume_resize,
            volumes::volume_delete,
            kernels::doctor,
            kernels::kernel_list,
            kernels::kernel_add,
            kernels::kernel_fetch_linux,
            kernels::kernel_fetch_osv,
            kernels::kernel_remove,
            registries::registry_list,
            registries::registry_add,
            registries::registry_update,
            registries::registry_remove,
            registries::registry_reorder,
            registries::registry_enable,
            registries::registry_check,
            registries::registry_refresh,
            registries::secrets_backend,
            registries::secrets_unlock,
            packages::package_search,
            packages::package_details,
            packages::package_tree,
            packages::package_graph,
            packages::package_pull,
            packages::package_accept_digest,
            packages::package_remove,
            packages::package_publish,
            packages::package_export,
            packages::package_update_plan,
            packages::package_update,
            packages::pack_kinds,
            packages::pack_fetch_image,
            packages::pack_preview,
            packages::pack_make,
            library::library_usage,
            library::library_verify,
            library::library_repair,
            library::library_prune_plan,
            library::library_prune,
            library::capstan_look,
            library::capstan_import,
            machines::machine_list,
            machines::machine_start,
            machines::machine_pause,
            machines::machine_resume,
            machines::machine_stop,
            machines::machine_kill,
            machines::machine_restart,
            machines::machine_clone,
            machines::machine_group,
            machines::group_start,
            machines::group_stop,
            machines::group_delete,
            machines::machine_delete,
            machines::machine_rename,
            machines::machine_details,
            machines::machine_loads,
            machines::machine_load_history,
            machines::machine_screenshot,
            machines::machine_thumbnail,
            machines::machine_push,
            machines::machine_push_preview,
            machines::machine_last_push,
            machines::machine_open_port,
            machines::console_open,
            machines::console_acknowledge,
            machines::console_save,
            machines::display_open,
            machines::stream_close,
            jobs::job_list,
            jobs::job_log,
            jobs::job_cancel,
            jobs::job_retry,
            jobs::job_pause,
            jobs::job_resume,
            settings::settings_get,
            settings::settings_set,
            settings::about,
            desktop::pick_folder,
            desktop::pick_files,
            desktop::pick_save_path,
            desktop::text_save,
            desktop::opened_paths,
            desktop::reveal_path,
            desktop::notify,
            desktop::window_close_answer,
        ])
        .events(crate::events::list())
}
